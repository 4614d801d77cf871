// What a visitor sees of a hands-free conversation.

const [QUIETEST_DB, LOUDEST_DB] = [-60, -15]; // ends of the meter
// What has no meaning while it listens by itself; the rest of the page stays in use.
const AT_REST = ["ask", "microphone", "turns", "typed-examples", "spoken-examples", "output"];

class TalkCard {
  constructor(root, name) {
    this.root = root;
    this.name = name;
    this.toggle = this.part("toggle");
    root.setAttribute("aria-label", WORDS.talk);
    this.part("heard").firstElementChild.textContent = WORDS.talk_you;
    this.part("answer").firstElementChild.textContent = WORDS.talk_it;
    this.say("");
  }

  part(name) { return this.root.querySelector(".talk-" + name); }

  showMissing(key) {
    this.root.dataset.state = "missing";
    this.say(WORDS[key]);
  }

  show(state, ending, isLive) {
    const isBroken = Boolean(ending) && ending !== "talk_ended";
    this.root.dataset.state = state;
    this.root.classList.toggle("talk-live", isLive);
    this.root.classList.toggle("talk-broken", isBroken);
    this.part("label").textContent = WORDS[isLive ? "talk_end" : isBroken ? "talk_again" : "talk_start"];
    this.part("status").textContent = isLive ? WORDS["talk_" + state] : WORDS[ending] || "";
    if (!isLive) this.part("latency").textContent = "";
  }

  // A sentence below; without one the hint stands there.
  say(sentence) { this.part("note").textContent = sentence || WORDS.talk_hint; }

  write(heard, answer) {
    this.part("heard").lastElementChild.textContent = heard;
    this.part("answer").lastElementChild.textContent = answer;
  }

  showLatency(ms) {
    this.part("latency").textContent = WORDS.talk_latency.replace("{seconds}", (ms / 1000).toFixed(2));
  }

  showLevel({ level, voiced }) {
    const loudness = (level - QUIETEST_DB) / (LOUDEST_DB - QUIETEST_DB);
    const bar = this.part("meter").firstElementChild;
    bar.style.transform = `scaleX(${Math.max(0, Math.min(1, loudness)).toFixed(2)})`;
    bar.classList.toggle("talk-voiced", voiced);
  }

  rest(isResting) {
    for (const block of AT_REST) {
      const found = document.getElementById(`${this.name}-${block}`);
      if (found) found.inert = isResting;
    }
  }
}
