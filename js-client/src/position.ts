/** What a client holds of one room's log, and whether the next publication continues it. */

import type { Publication } from "./messages.js";

export class Chain {
  /** Everything of the room up to here was told; null: nothing yet. Opaque. */
  position: string | null = null;
  /** The position of the room's last publication: what the next one's `previous` must be. Null:
   * there is none in the retained log. Undefined: not known. */
  head: string | null | undefined = undefined;
  /** The position before pings moved it. */
  private proved: string | null = null;

  /** Whether this is the last publication once more. */
  repeats(publication: Publication): boolean {
    return publication.position === this.head;
  }

  /** Whether nothing is missing between what is held and this publication. */
  continuesWith(publication: Publication): boolean {
    return publication.previous === this.head;
  }

  /** This publication is told now. */
  take(publication: Publication): void {
    this.position = this.proved = this.head = publication.position;
  }

  /** The gateway says where the room stands. */
  settle(position: string, head: string | null | undefined): void {
    this.position = this.proved = position;
    this.head = head;
  }

  /** Counting messages shows that nothing of this room came up to `position`. */
  advance(position: string): void {
    this.position = position;
  }

  /** Something is missing, and a count that agreed may have been a coincidence: one message lost
   * and another one doubled. */
  retreat(): void {
    this.position = this.proved;
  }

  /** What is held belongs to a log that is no more, or is not wanted. */
  forget(): void {
    this.position = this.proved = null;
    this.head = undefined;
  }
}
