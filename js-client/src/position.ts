/**
 * What a client holds of one room's log, and whether what comes continues it.
 *
 * Two positions are kept. Up to the *proved* one everything was told: publications prove it by
 * their chain, and the gateway's replies. A ping whose count agrees moves another one further, the
 * *sounded* one, so that a quiet room can be continued although its last publication is long gone
 * from what gateways hold. But counts agree too when one push was lost and another one doubled.
 * Hence a sounded position is only a place to try first: what is recovered from there must continue
 * the head, else it is recovered from the proved one. A room without a known head has nothing to
 * check that with, and is always continued from the proved position.
 *
 * The price: where the gateway cannot say any more what came before (the head was trimmed from the
 * log), continuity may be reported as lost although it is not. Never the other way round.
 */

import type { Publication, Subscribed } from "./messages.js";

export class Chain {
  /** Everything of the room up to here was told; null: nothing yet. Opaque. */
  proved: string | null = null;
  /** The position of the room's last publication: what the next one's `previous` must be. Null:
   * there is none in the retained log, which says nothing of what may have been trimmed from it.
   * Undefined: not known. */
  head: string | null | undefined = undefined;
  /** Where pings have moved since; null: nowhere. Only beside a head. */
  private sounded: string | null = null;

  /** Where to continue from; null: there is nothing to continue. */
  get position(): string | null {
    return this.sounded === null ? this.proved : this.sounded;
  }

  /** Whether this is the last publication once more. */
  repeats(publication: Publication): boolean {
    return publication.position === this.head;
  }

  /** Whether nothing is missing between what is held and this publication. */
  continuesWith(publication: Publication): boolean {
    return publication.previous === this.head;
  }

  /** Whether `head`, of another session, proves that the room has not changed since. */
  endsWith(head: string | null): boolean {
    return head !== null && head === this.head;
  }

  /** Whether nothing is missing between what is held and the first page that was recovered from
   * `position`. */
  joins(page: Subscribed): boolean {
    if (this.sounded === null) return true;
    const first = page.publications[0];
    if (first) return this.continuesWith(first);
    // The head is told on the last page only.
    return page.more !== true && this.endsWith(page.head);
  }

  /** This publication is told now. */
  take(publication: Publication): void {
    this.settle(publication.position, publication.position);
  }

  /** The gateway says where the room stands. */
  settle(position: string, head: string | null | undefined): void {
    this.proved = position;
    this.sounded = null;
    this.head = head;
  }

  /** Counting messages suggests that nothing of this room came up to `position`. */
  advance(position: string): void {
    if (typeof this.head === "string") this.sounded = position;
  }

  /** Something is missing: a count that agreed may have been a coincidence. */
  retreat(): void {
    this.sounded = null;
  }

  /** What is held belongs to a log that is no more, or is not wanted. */
  forget(): void {
    this.proved = this.sounded = null;
    this.head = undefined;
  }
}
