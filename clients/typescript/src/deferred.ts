/** A promise with its ends in hand. Rejections that nobody awaits are not reported as unhandled. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly settled: boolean;
  resolve(value: T): void;
  reject(error: unknown): void;
}

export function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => {});
  const self = {
    promise,
    settled: false,
    resolve(value: T) {
      self.settled = true;
      resolve(value);
    },
    reject(error: unknown) {
      self.settled = true;
      reject(error);
    },
  };
  return self;
}
