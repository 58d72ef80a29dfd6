/** Calls each of them. One that throws is its owner's fault: the error is reported as uncaught, and neither the others nor what is
 * being told of suffer. */
export function tell(listeners, ...told) {
    for (const listener of [...listeners]) {
        try {
            listener(...told);
        }
        catch (error) {
            queueMicrotask(() => { throw error; });
        }
    }
}
