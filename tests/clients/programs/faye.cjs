const { Client } = require('faye-websocket');
const say = (what) => console.log(JSON.stringify(what));
const raised = process.env.RAISED ? { maxLength: 2 ** 30 } : {};
const socket = new Client(process.env.URL, [], { headers: { Authorization: 'Bearer ' + process.env.TOKEN }, ...raised });
socket.on('open', () => socket.send(process.env.START));
socket.on('message', (event) => say({ got: Buffer.byteLength(event.data) }));
socket.on('close', (event) => say({ closed: event.code, why: event.reason }));
socket.on('error', (event) => say({ error: event.message }));
