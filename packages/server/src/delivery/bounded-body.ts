/** Gathers the body of an answer in one buffer that grows up to a bound, whatever the size of the pieces it comes in. */
export class BoundedBody {
  readonly #maxBytes: number;
  #buffer: Buffer = Buffer.alloc(0);
  #length = 0;
  #truncated = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Whether there was more than the bound. */
  get truncated(): boolean {
    return this.#truncated;
  }

  /** What came, up to the bound. */
  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Copies: to keep a piece would keep what it was cut from, and a million of one byte each weigh a hundred million. */
  append(piece: Uint8Array): void {
    const room = this.#maxBytes - this.#length;
    const kept = piece.length > room ? piece.subarray(0, room) : piece;
    this.#truncated ||= piece.length > room;
    const needed = this.#length + kept.length;
    if (needed > this.#buffer.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(this.#maxBytes, this.#buffer.length * 2)));
      this.#buffer.copy(grown, 0, 0, this.#length);
      this.#buffer = grown;
    }
    this.#buffer.set(kept, this.#length);
    this.#length = needed;
  }
}
