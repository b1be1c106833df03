// Adds headers to every HTTP request of the conformance suite, which has no option for them.
// Loaded by `node --require`; SUITE_HEADERS is a JSON object of header names and values.
// Node's own fetch and the undici package both announce their requests on this channel.
const diagnostics = require("node:diagnostics_channel");

const headers = Object.entries(JSON.parse(process.env.SUITE_HEADERS));
diagnostics.subscribe("undici:request:create", ({ request }) => {
  for (const [name, value] of headers) request.addHeader(name, value);
});
