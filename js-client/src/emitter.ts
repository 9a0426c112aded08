/** Listeners by event name. */

import type { Environment } from "./environment.js";
import { Table } from "./table.js";

type Listener = (event: any) => void;

/** `Events` maps an event's name to what its listeners get. */
export class Emitter<Events> {
  private readonly listeners = new Table<Listener[]>();

  /** @internal */
  constructor(
    /** @internal */
    protected readonly environment: Environment,
  ) {}

  /** Call `listener` at each `event`. Gives a function that ends that. */
  on<Name extends keyof Events & string>(
    event: Name,
    listener: (event: Events[Name]) => void,
  ): () => void {
    this.listeners.set(event, (this.listeners.get(event) || []).concat(listener));
    return () => this.off(event, listener);
  }

  /** The opposite of `on`. */
  off<Name extends keyof Events & string>(
    event: Name,
    listener: (event: Events[Name]) => void,
  ): void {
    const others = (this.listeners.get(event) || []).filter((other) => other !== listener);
    this.listeners.set(event, others);
  }

  /**
   * Tell everybody who listens at this moment. What a listener throws is reported and harms
   * neither the other listeners nor the caller.
   *
   * @internal
   */
  emit<Name extends keyof Events & string>(event: Name, value: Events[Name]): void {
    for (const listener of this.listeners.get(event) || []) {
      try {
        listener(value);
      } catch (error) {
        this.environment.report(error);
      }
    }
  }
}
