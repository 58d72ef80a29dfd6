/** Calls each of them. One that throws is its owner's fault: the error is reported as uncaught, and neither the others nor what is
 * being told of suffer. */
export function tell<A extends unknown[]>(listeners: Iterable<(...told: A) => void>, ...told: A): void {
  for (const listener of [...listeners]) {
    try {
      listener(...told);
    } catch (error) {
      queueMicrotask(() => { throw error; });
    }
  }
}
