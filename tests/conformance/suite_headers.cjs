// Adds headers to every HTTP request of the conformance suite, which has no option for them.
// Loaded by `node --require`; SUITE_HEADERS is a JSON object of header names and values.
const diagnostics = require("node:diagnostics_channel");

const headers = Object.entries(JSON.parse(process.env.SUITE_HEADERS));

// fetch, Node's own and that of the undici package
diagnostics.subscribe("undici:request:create", ({ request }) => {
  for (const [name, value] of headers) request.addHeader(name, value);
});
// node:http, for requests that fetch would not send as they are
diagnostics.subscribe("http.client.request.created", ({ request }) => {
  for (const [name, value] of headers) request.setHeader(name, value);
});
