export { Client } from './client.js';
export { Session } from './session.js';
export { backoffDelay } from './link.js';
export { plainToolName } from './tools.js';
export * from './errors.js';
export { formOf } from './form.js';
export { initialState, questionsOf, reduce } from './state.js';
