export function deferred() {
    let resolve;
    let reject;
    const promise = new Promise((yes, no) => {
        resolve = yes;
        reject = no;
    });
    promise.catch(() => { });
    const self = {
        promise,
        settled: false,
        resolve(value) {
            self.settled = true;
            resolve(value);
        },
        reject(error) {
            self.settled = true;
            reject(error);
        },
    };
    return self;
}
