"use strict";
(() => {
  const form = document.querySelector(".controls");
  const slider = document.getElementById("slider");
  const sliderName = document.getElementById("slider-name");
  const figures = [...document.querySelectorAll(".view")];
  const stages = figures.map((figure) => figure.querySelector(".stage"));
  const words = { swipe: "Position", flicker: "Pace", checkerboard: "Size of squares", blend: "Opacity" };
  const values = { swipe: 50, flicker: 50, checkerboard: 72, blend: 50 };
  const failed = document.body.classList.contains("fail");
  const movingWords = { before: "Moving, before", after: failed ? "Moving, rejected" : "Moving, registered" };
  let timer = 0;

  const radios = (name) => [...form.querySelectorAll(`input[name="${name}"]`)];
  const chosen = (name) => radios(name).find((one) => one.checked).value;
  const choose = (name, value) => {
    const input = radios(name).find((one) => one.value === value);
    if (input && !input.disabled) { input.checked = true; update(); }
  };

  function tag(stage) {
    const mode = stage.dataset.mode;
    const moving = movingWords[stage.dataset.state];
    const left = stage.querySelector(".tag.left"), right = stage.querySelector(".tag.right");
    left.textContent = mode === "flicker" ? (stage.classList.contains("resting") ? "Reference" : moving) : "Reference";
    right.textContent = mode === "flicker" ? "" : moving;
  }

  function flicker() {
    const stage = stages[chosen("view")];
    stage.classList.toggle("resting");
    tag(stage);
  }

  function slide() {
    const mode = chosen("mode"), value = Number(slider.value);
    values[mode] = value;
    for (const stage of stages) {
      stage.style.setProperty("--at", `${values.swipe}%`);
      stage.style.setProperty("--mix", values.blend / 100);
      stage.style.setProperty("--cell", `${100 / Math.round(20 - 0.17 * values.checkerboard)}%`);
    }
    if (mode === "flicker") {
      clearInterval(timer);
      timer = setInterval(flicker, 1400 - 10.5 * value);
    }
  }

  function update() {
    const mode = chosen("mode"), view = Number(chosen("view"));
    figures.forEach((figure, index) => { figure.hidden = index !== view; });
    clearInterval(timer);
    for (const stage of stages) {
      stage.dataset.mode = mode;
      stage.dataset.state = chosen("state");
      stage.classList.remove("resting");
      tag(stage);
    }
    sliderName.textContent = words[mode];
    slider.value = values[mode];
    slide();
  }

  function drag(event) {
    if (chosen("mode") !== "swipe" || !(event.buttons & 1)) return;
    const box = event.currentTarget.getBoundingClientRect();
    slider.value = Math.min(100, Math.max(0, 100 * (event.clientX - box.left) / box.width));
    slide();
  }

  const keys = {
    ArrowLeft: () => { slider.value = Number(slider.value) - 2; slide(); },
    ArrowRight: () => { slider.value = Number(slider.value) + 2; slide(); },
    f: () => choose("mode", "flicker"),
    c: () => choose("mode", "checkerboard"),
    s: () => choose("mode", "swipe"),
    b: () => choose("state", chosen("state") === "before" ? "after" : "before"),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inForm = event.target.matches && event.target.matches("input");
    if (event.key.startsWith("Arrow") && inForm) return;
    const action = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (action) { action(); event.preventDefault(); }
    else if (/^[1-9]$/.test(event.key)) choose("view", String(Number(event.key) - 1));
  });
  form.addEventListener("change", update);
  slider.addEventListener("input", slide);
  for (const stage of stages) {
    stage.addEventListener("pointerdown", (event) => { stage.setPointerCapture(event.pointerId); drag(event); });
    stage.addEventListener("pointermove", drag);
  }
  update();
})();
