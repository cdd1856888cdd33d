// Everything works without this script. It adds: an overview that is brought up to
// date, and the key "/" for the search.
"use strict";

document.documentElement.classList.add("js");

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  const find = document.getElementById("q");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey && find) {
    event.preventDefault();
    find.focus();
  }
});

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

const box = document.querySelector("[data-live]");
if (box && window.EventSource) live(box);

function live(box) {
  const pulse = document.getElementById("pulse");
  const state = box.querySelector(".livestate");
  const button = box.querySelector("button");
  let source = null;
  let off = false;
  try {
    off = localStorage.getItem("semel-live") === "off";
  } catch {
    // there is no place to remember it
  }

  function show(text, mood) {
    if (state.textContent !== text) state.textContent = text;
    box.dataset.mood = mood;
  }

  function update(event) {
    if (pulse.contains(document.activeElement)) return; // somebody is in there
    const open = pulse.querySelector("#numbers")?.open;
    pulse.innerHTML = event.data;
    const numbers = pulse.querySelector("#numbers");
    if (numbers && open) numbers.open = true;
    show("live", "on");
  }

  function start() {
    if (source) return;
    source = new EventSource(box.dataset.live);
    source.addEventListener("pulse", update);
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) {
        show("stopped: reload the page", "off");
        source = null;
      } else {
        show("connecting", "off");
      }
    });
  }

  function stop() {
    source?.close();
    source = null;
  }

  function apply() {
    button.textContent = off ? "Resume" : "Pause";
    if (off) {
      stop();
      show("paused", "off");
    } else {
      show("live", "on");
      if (!document.hidden) start();
    }
  }

  button.addEventListener("click", () => {
    off = !off;
    try {
      localStorage.setItem("semel-live", off ? "off" : "on");
    } catch {
      // then it counts for this page only
    }
    apply();
  });
  // Nobody looks at a hidden page.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) stop();
    else if (!off) start();
  });
  window.addEventListener("pagehide", stop);
  box.hidden = false;
  apply();
}
