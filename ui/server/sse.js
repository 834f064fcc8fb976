// Server-Sent Events as the HTML standard has them (section 9.2.6), read from a stream: the
// browser's own EventSource can't send an API key.

/**
 * @typedef {object} Sent
 * @property {string | null} id the newest id so far
 * @property {string} type
 * @property {string} data "" for a block that only sets the id, or keeps the connection alive
 */

/**
 * Every block of the stream, whether it carries data or not. A stream that breaks off ends.
 *
 * @param {ReadableStream<Uint8Array>} stream
 * @returns {AsyncGenerator<Sent, void>}
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
        const sent = parseBlock(block);
        id = sent.id ?? id;
        yield { ...sent, id };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** @param {string} block @returns {Sent} */
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
