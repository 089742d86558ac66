// Questions to the server: each answer comes as lines of JSON, what is done so far first, the answer last.

async function* lines(stream) {
  const decoder = new TextDecoder();
  let rest = "";
  for (const reader = stream.getReader(); ; ) {
    const { done, value } = await reader.read();
    rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
    const parts = rest.split("\n");
    rest = parts.pop();
    for (const part of parts) if (part) yield JSON.parse(part);
    if (done) return;
  }
}

const send = (path, state, signal) =>
  fetch(`/api/${path}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(state), signal });

export async function ask(question, state, signal, progress) {
  const answer = await send(question, state, signal);
  for await (const message of lines(answer.body)) {
    if (message.error) throw new Error(message.error);
    if (message.answer) return message.answer;
    progress(message);
  }
  throw new Error("the server stopped while it answered");
}

export async function download(name, state) {
  const answer = await send(`file/${name}`, state);
  if (!answer.ok) throw new Error(JSON.parse(await answer.text()).error);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
