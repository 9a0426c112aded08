/** Data of the application, frozen as JSON. */

/** What JSON makes of `data` now, so that what is sent later is the same; null: JSON cannot carry it. */
export function snapshot(data: unknown): { readonly data: unknown } | null {
  let text: string | undefined;
  try {
    text = JSON.stringify(data);
  } catch {
    // Circular, a bigint, or a toJSON that raises: told like everything else JSON cannot carry.
    return null;
  }
  return text === undefined ? null : { data: JSON.parse(text) };
}
