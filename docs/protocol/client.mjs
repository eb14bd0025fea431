// One question to a conversation, its answer as it comes: `node client.mjs ws://127.0.0.1:7007/ws trip "Where to in May?"`.
// Node 22 and browsers have WebSocket; node 20 wants --experimental-websocket.
const [url, conversation, text] = process.argv.slice(2);
const [nonce, socket] = [crypto.randomUUID(), new WebSocket(url)];
let [seq, turn, beat] = [0, null, null];
const say = (frame) => socket.send(JSON.stringify(frame));

socket.onmessage = ({ data }) => {
  const frame = JSON.parse(data);
  seq = frame.seq ?? seq;
  switch (frame.op) {
    case "hello":
      say({ op: "identify", user: "example" });
      beat = setInterval(() => say({ op: "heartbeat", seq }), frame.heartbeat_ms);
      break;
    case "ready": return say({ op: "join", conversation });
    case "room": return say({ op: "say", conversation, text, nonce });
    case "heartbeat_wanted": return say({ op: "heartbeat", seq });
    case "turn": turn = frame.turn.nonce === nonce ? frame.turn.turn : turn; break;
    case "delta": if (frame.turn === turn) process.stdout.write(frame.text); break;
    case "ended": if (frame.turn === turn) socket.close(1000); break;
    case "error": console.error(frame.message); socket.close(1000);
  }
};
socket.onclose = ({ code }) => {
  clearInterval(beat);
  process.exitCode = code === 1000 || code === 1005 ? 0 : 1; // 4000 to 4499: come again, and resume.
};
