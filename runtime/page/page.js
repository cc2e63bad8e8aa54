// Without this file the form posts and the page loads anew; with it only the results are replaced.
"use strict";

const form = document.querySelector("form");
const button = form.querySelector("button");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  try {
    const response = await fetch(form.action, {
      method: "POST",
      body: new URLSearchParams(new FormData(form)),
      headers: { Accept: "text/html; fragment=results" },
    });
    const body = await response.text();
    if ((response.headers.get("content-type") ?? "").startsWith("application/json")) {
      refuse(JSON.parse(body).error); // by a layer that knows nothing of pages
      return;
    }
    const answer = new DOMParser().parseFromString(body, "text/html");
    for (const section of answer.querySelectorAll("section[id]")) {
      document.getElementById(section.id).replaceWith(section);
    }
  } catch {
    form.submit(); // the server cannot be reached: let the browser say so
  } finally {
    button.disabled = false;
  }
});

function refuse(why) {
  const message = document.createElement("p");
  message.className = "alarm";
  message.setAttribute("role", "alert");
  message.textContent = why;
  document.getElementById("result").replaceChildren(message);
}
