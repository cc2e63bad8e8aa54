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
    const answer = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const section of answer.querySelectorAll("section[id]")) {
      document.getElementById(section.id).replaceWith(section);
    }
  } catch {
    form.submit(); // the server cannot be reached: let the browser say so
  } finally {
    button.disabled = false;
  }
});
