/** A dictionary whose keys may be any text, `__proto__` included, in engines without Map. */

export class Table<T> {
  private entries: { [key: string]: T } = {};

  get(key: string): T | undefined {
    const name = "$" + key;
    return Object.prototype.hasOwnProperty.call(this.entries, name)
      ? this.entries[name]
      : undefined;
  }

  set(key: string, value: T): void {
    this.entries["$" + key] = value;
  }

  remove(key: string): void {
    delete this.entries["$" + key];
  }

  clear(): void {
    this.entries = {};
  }

  /** The values at this moment, in the order in which their keys came. */
  values(): T[] {
    return Object.keys(this.entries).map((name) => this.entries[name]!);
  }
}
