// Prints what the official parser says about an AsyncAPI document: its diagnostics, and the titles of
// the messages' schemas, which are files of their own.
import { Parser, fromFile } from "@asyncapi/parser";

const { document, diagnostics } = await fromFile(new Parser(), process.argv[2]).parse();
const payloads = document?.allMessages().all().map((message) => message.payload()?.title());
console.log(JSON.stringify({ diagnostics, payloads }));
