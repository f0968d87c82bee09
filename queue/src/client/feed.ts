/**
 * Values that are taken one by one. What waits for one is ended by leaving, too, which a generator alone would wait for.
 */
export class Feed<T> implements AsyncGenerator<T, void, undefined> {
  readonly #values: AsyncGenerator<T, void, undefined>
  readonly #leave: () => Promise<void> | void

  /** `leave` lets what is being waited for end. */
  constructor(values: AsyncGenerator<T, void, undefined>, leave: () => Promise<void> | void) {
    this.#values = values
    this.#leave = leave
  }

  next(): Promise<IteratorResult<T, void>> {
    return this.#values.next()
  }

  async return(): Promise<IteratorResult<T, void>> {
    await this.#leave()
    return this.#values.return()
  }

  async throw(error: unknown): Promise<IteratorResult<T, void>> {
    await this.return()
    throw error
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }
}
