const { WebSocket } = require('undici');
const say = (what) => console.log(JSON.stringify(what));
const socket = new WebSocket(process.env.URL, { headers: { authorization: 'Bearer ' + process.env.TOKEN } });
socket.onopen = () => socket.send(process.env.START);
socket.onmessage = (event) => say({ got: Buffer.byteLength(event.data) });
socket.onclose = (event) => say({ closed: event.code, why: event.reason });
socket.onerror = (event) => say({ error: event.error?.message ?? event.message });
