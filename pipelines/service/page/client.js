"use strict";
// What the page asks of the server, and the elements that it is made of.

const connection = document.getElementById("connection");

/** make("td.number", "text" or nodes...) */
function make(what, ...content) {
  const [name, ...classes] = what.split("."), element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  element.append(...content.filter((c) => c !== null && c !== undefined).map((c) => c instanceof Node ? c : String(c)));
  return element;
}
function link(text, address) { const a = make("a", text); a.href = address; return a; }
function button(text, act) { const b = make("button", text); b.type = "button"; b.onclick = act; return b; }

function headers() {
  const key = sessionStorage.getItem("key");
  return key ? {Authorization: "Bearer " + key} : {};
}

function askForKey() {
  const dialog = document.getElementById("ask-key"), field = document.getElementById("key");
  if (!dialog.open) dialog.showModal();
  return new Promise((done) => dialog.addEventListener("close", () => { sessionStorage.setItem("key", field.value); field.value = ""; done(); }, {once: true}));
}

/** A request; asks for a key where one is needed. Throws Error with what the server says. */
async function ask(path, options = {}) {
  for (;;) {
    const answer = await fetch(path, {...options, headers: {...options.headers, ...headers()}});
    if (answer.status === 401) { await askForKey(); continue; }
    if (answer.ok) return answer;
    const error = (await answer.json().catch(() => ({}))).error || {};
    throw new Error((error.param ? error.param + ": " : "") + (error.message || "status " + answer.status));
  }
}
async function json(path, options) { return (await ask(path, options)).json(); }
function post(path, body) {
  return json(path, {method: "POST", body: body === undefined ? "{}" : body, headers: {"Content-Type": "application/json"}});
}

/** Server-sent events with our headers, which EventSource cannot send; begins again where the stream broke off. */
function follow(path, each) {
  const stop = new AbortController();
  (async () => {
    for (let last = ""; !stop.signal.aborted;) {
      try {
        const answer = await ask(path, {signal: stop.signal, headers: {Accept: "text/event-stream", ...(last ? {"Last-Event-ID": last} : {})}});
        connection.textContent = "live";
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        for (let text = "", piece = await reader.read(); !piece.done; piece = await reader.read()) {
          const parts = (text + piece.value).split("\n\n");
          text = parts.pop();
          for (const part of parts) {
            const event = Object.fromEntries(part.split("\n").filter((l) => l.includes(": ") && l[0] !== ":").map((l) => [l.slice(0, l.indexOf(": ")), l.slice(l.indexOf(": ") + 2)]));
            if (event.id) last = event.id;
            if (event.event === "done") { connection.textContent = ""; each("done", null); return; }
            if (event.data) each(event.event, JSON.parse(event.data));
          }
        }
      } catch (error) {
        if (stop.signal.aborted) return;
        connection.textContent = "no connection; trying again";
      }
      await new Promise((done) => setTimeout(done, 2000));
    }
  })();
  return () => stop.abort();
}
