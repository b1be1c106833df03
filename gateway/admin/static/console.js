// Live arrival, countdowns and keys. Everything else works without this file.
"use strict";

const offset = Number(document.body.dataset.now) * 1000 - Date.now();
const page = document.body.dataset.page;
const said = document.getElementById("said");
const say = (text) => { said.textContent = text; };

// As `span` in render.py says it.
function span(seconds) {
  const left = Math.max(0, Math.floor(seconds));
  const units = [[86400, "d"], [3600, "h"], [60, "min"]];
  for (const [index, [size, unit]] of units.entries()) {
    if (left < size) continue;
    const below = units[index + 1];
    const rest = below && left % size >= below[0] ? ` ${Math.floor((left % size) / below[0])} ${below[1]}` : "";
    return `${Math.floor(left / size)} ${unit}${rest}`;
  }
  return `${left} s`;
}

function tick() {
  const now = (Date.now() + offset) / 1000;
  for (const time of document.querySelectorAll("time[data-until]")) {
    const left = Number(time.dataset.until) - now;
    time.textContent = "bare" in time.dataset ? span(left) : left > 0 ? `${span(left)} left` : "time is over";
    time.classList.toggle("soon", left < 300);
  }
  for (const time of document.querySelectorAll("time[data-since]")) {
    time.textContent = `${span(now - Number(time.dataset.since))} ago`;
  }
}

// A page or part of one as this reviewer may see it now; null once nobody is signed in.
async function ask(address) {
  const answer = await fetch(address, { credentials: "same-origin" });
  if (answer.redirected || answer.status === 401) { location.reload(); return null; }
  return answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
}

async function refreshWaiting() {
  const fresh = await ask("/console/waiting");
  if (!fresh) return;
  const list = document.getElementById("waiting");
  const rows = (root) => new Map([...root.querySelectorAll(".row")].map((row) => [row.id, row]));
  const before = rows(list);
  const focused = document.activeElement && document.activeElement.id;
  const at = [...before.keys()].indexOf(focused);
  list.replaceChildren(...fresh.body.childNodes);
  const after = rows(list);
  const arrived = [...after].filter(([id]) => !before.has(id));
  for (const [, row] of arrived) row.parentElement.classList.add("new");
  if (arrived.length) {
    const row = arrived[0][1];
    say(`${arrived.length} new: ${row.querySelector("b").textContent}, ${row.querySelector(".tool").textContent}`);
  } else if (after.size < before.size) {
    say(`${after.size} waiting`);
  }
  if (at >= 0) (after.get(focused) || [...after.values()][Math.min(at, after.size - 1)] || document.body).focus();
  document.title = `${after.size ? `(${after.size}) ` : ""}Waiting - Toolgate`;
  tick();
}

async function refreshParts() {
  const fresh = await ask(location.href);
  if (!fresh) return;
  for (const part of document.querySelectorAll("[data-live]")) {
    const other = fresh.getElementById(part.id);
    if (other && other.dataset.live !== part.dataset.live) {
      const open = part.querySelector("details[open]");
      part.replaceWith(other);
      if (page === "upstreams" && open) other.querySelector("details").open = true;
      if (other.id === "decide") say(`This ticket changed. ${other.innerText.slice(0, 200)}`);
    }
  }
  tick();
}

// One at a time, and once more if something came meanwhile: many changes need not many requests.
let busy = false, again = false;
async function refresh() {
  if (busy) { again = true; return; }
  busy = true;
  do {
    again = false;
    try { await (page === "waiting" ? refreshWaiting() : refreshParts()); } catch { /* tried again on reconnecting */ }
  } while (again);
  busy = false;
}

function listen() {
  const live = document.getElementById("live");
  const stream = new EventSource("/console/events");
  stream.addEventListener("ready", () => { if (live) live.textContent = "Live"; refresh(); });
  stream.addEventListener("ticket", (event) => {
    if (page === "waiting" || location.pathname.endsWith(`/${JSON.parse(event.data).id}`)) refresh();
  });
  stream.addEventListener("end", () => { stream.close(); refresh().then(() => setTimeout(listen, 1000)); });
  stream.addEventListener("error", () => {
    if (live) live.textContent = "Connecting ...";
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  });
}

// Servers are no tickets: nobody tells of their changes, so they are looked at.
async function look() {
  if (!document.hidden) await refresh();
  setTimeout(look, 2000);
}

const rows = () => [...document.querySelectorAll(".row")];

function move(by) {
  const all = rows();
  const at = all.indexOf(document.activeElement);
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)];
  if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); }
}

function go(deed, target) {
  const panel = document.getElementById(deed);
  if (!panel) return;
  panel.open = true;
  panel.querySelector(target).focus();
  panel.scrollIntoView({ block: "nearest" });
}

const keys = {
  j: () => move(1),
  k: () => move(-1),
  a: () => go("approve", "button"),
  e: () => go("edit", "textarea"),
  r: () => go("reject", "textarea"),
  u: () => { const back = document.querySelector(".back a"); if (back) back.click(); },
  "/": () => { const field = document.querySelector(".search input"); if (field) field.focus(); else location.assign("/console/audit"); },
  "?": () => document.getElementById("keys").showModal(),
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  if (typing && event.key === "Escape") typing.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (Object.hasOwn(keys, event.key)) { event.preventDefault(); keys[event.key](); }
});

document.addEventListener("input", (event) => {
  if (event.target.matches("textarea.field")) {
    event.target.classList.toggle("differs", event.target.value !== event.target.defaultValue);
  }
});

// Nobody decides twice by clicking twice.
document.addEventListener("submit", (event) => {
  if (event.target.method === "dialog") return;
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "yes";
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// On a phone the page's own name may be beyond the edge.
const current = document.querySelector("nav [aria-current]");
if (current) current.parentElement.scrollLeft = current.offsetLeft - current.parentElement.clientWidth / 2;

tick();
setInterval(tick, 1000);
if (page === "waiting" || page === "ticket") listen();
if (page === "upstreams") look();
