const WebSocket = require('ws');
const say = (what) => console.log(JSON.stringify(what));
const raised = process.env.RAISED ? { maxPayload: 0 } : {};
const socket = new WebSocket(process.env.URL, { headers: { authorization: 'Bearer ' + process.env.TOKEN }, ...raised });
socket.on('open', () => socket.send(process.env.START));
socket.on('message', (data) => say({ got: data.length }));
socket.on('close', (closed, why) => say({ closed, why: String(why) }));
socket.on('error', (error) => say({ error: error.message }));
