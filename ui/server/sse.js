// Server-Sent Events as in the HTML standard (section 9.2.6), read with fetch: the browser's own
// EventSource can't send an API key.

/**
 * @typedef {object} ServerSentEvent
 * @property {string | null} id the latest id so far
 * @property {string} type
 * @property {string} data "" for a block that only sets the id, or is a keep-alive
 */

/**
 * Yields every block of the stream, even without data. Ends when the stream breaks off.
 *
 * @param {ReadableStream<Uint8Array>} stream
 * @returns {AsyncGenerator<ServerSentEvent, void>}
 */
export async function* readEvents(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  /** @type {string | null} */
  let id = null;
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }));
      if (done) return;
      const blocks = (rest + decoder.decode(value, { stream: true })).split(/\r?\n\r?\n/);
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const event = parseBlock(block);
        id = event.id ?? id;
        yield { ...event, id };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** @param {string} block @returns {ServerSentEvent} */
function parseBlock(block) {
  /** @type {Record<string, string[]>} */
  const fields = {};
  for (const line of block.split(/\r?\n/)) {
    const [, name, value = ""] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
    if (name) (fields[name] ??= []).push(value);
  }
  return {
    id: fields.id?.at(-1) ?? null,
    type: fields.event?.at(-1) ?? "message",
    data: fields.data?.join("\n") ?? "",
  };
}
