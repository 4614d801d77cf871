() => {
  // Screen readers hear the transcript grow; the microphone's absence is explained where it happens.
  document.querySelector("#transcript textarea")?.setAttribute("aria-live", "polite");
  document.body.classList.toggle("insecure", !window.isSecureContext);
}
