/** Listeners by event name. */
/** `Events` maps an event's name to what its listeners get. */
export declare class Emitter<Events> {
    private readonly listeners;
    /** Call `listener` at each `event`. Gives a function that ends that. */
    on<Name extends keyof Events & string>(event: Name, listener: (event: Events[Name]) => void): () => void;
    /** The opposite of `on`. */
    off<Name extends keyof Events & string>(event: Name, listener: (event: Events[Name]) => void): void;
}
