// SPDX-License-Identifier: MIT
// Fetches the page again while somebody looks at it, and puts the new main part
// in the place of the old one. Without this the page shows the moment of its
// loading.
"use strict";

const live = document.getElementById("live");
const EVERY_MS = 2000;

function say(kind, words) {
	if (live.textContent !== words)
		live.textContent = words;
	live.className = kind;
}

// Somebody is about to copy, or walks through the page by keyboard.
function isInUse(main) {
	return !getSelection().isCollapsed || main.contains(document.activeElement);
}

async function refresh() {
	const main = document.querySelector("main");

	if (document.hidden)
		return;
	if (isInUse(main)) {
		say("", "paused while you read");
		return;
	}
	try {
		const reply = await fetch(location.href, { cache: "no-store" });
		const text = await reply.text();
		const page = new DOMParser().parseFromString(text, "text/html");
		const next = page.querySelector("main");

		if (!reply.ok || !next)
			throw new Error("status " + reply.status);
		if (!isInUse(main))
			main.replaceWith(next);
		say("good", "live");
	} catch (error) {
		say("bad", "the agent does not answer");
	}
}

async function go() {
	await refresh();
	setTimeout(go, EVERY_MS);
}

say("good", "live");
setTimeout(go, EVERY_MS);
document.addEventListener("visibilitychange", refresh);
