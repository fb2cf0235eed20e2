// Filters the gallery in the page. Everything is text content or numbers; nothing is ever parsed as HTML.
for (const root of document.querySelectorAll(".explorer")) {
  const facts = JSON.parse(root.querySelector("script").textContent);
  root.style.setProperty("--sprite", `url(${root.querySelector("img.sprite").src})`); // once, not in every tile
  const [width, height] = facts.size, scale = Math.max(1, Math.round(84 / width)), most = 120;
  const pick = (name) => root.querySelector(`[name=${name}]`);
  facts.recipes.forEach((name, i) => pick("model").add(new Option(name, String(i))));
  for (const select of [pick("true"), pick("said")]) {
    select.add(new Option("any class", ""));
    facts.classes.forEach((name, i) => select.add(new Option(name, String(i))));
  }
  const out = root.querySelector(".gallery"), count = root.querySelector("output");
  const draw = () => {
    const model = Number(pick("model").value), isTrue = pick("true").value, isSaid = pick("said").value;
    const sure = Number(pick("sure").value), wrong = pick("wrong").checked;
    pick("sure").nextElementSibling.textContent = `${sure} %`;
    const found = facts.called.map((_, i) => i).filter((i) =>
      (isTrue === "" || facts.true[i] === Number(isTrue)) &&
      (isSaid === "" || facts.said[model][i] === Number(isSaid)) &&
      facts.sure[model][i] >= sure && (!wrong || facts.said[model][i] !== facts.true[i]));
    found.sort((a, b) => facts.sure[model][b] - facts.sure[model][a]);
    count.textContent = `${found.length} images fit` + (found.length > most ? `, the ${most} surest are shown` : "");
    out.replaceChildren(...found.slice(0, most).map((i) => {
      const figure = document.createElement("figure"), image = document.createElement("div"), words = document.createElement("figcaption");
      image.className = "pixels";
      Object.assign(image.style, {
        width: `${width * scale}px`, height: `${height * scale}px`, backgroundImage: "var(--sprite)",
        backgroundSize: `${facts.columns * width * scale}px auto`,
        backgroundPosition: `${-(i % facts.columns) * width * scale}px ${-Math.floor(i / facts.columns) * height * scale}px`,
      });
      const line = (text, tag) => words.append(Object.assign(document.createElement(tag), { textContent: text }), document.createElement("br"));
      line(facts.classes[facts.true[i]], "b");
      line(`said ${facts.classes[facts.said[model][i]]}`, "span");
      line(`${facts.sure[model][i]} % sure  ${facts.called[i]}`, "small");
      figure.append(image, words);
      return figure;
    }));
  };
  root.querySelector("form").addEventListener("input", draw);
  root.hidden = false;
  draw();
}
