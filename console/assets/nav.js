// On a narrow screen the pages stand in a row that scrolls: bring the one that is open into sight.
// Not by scrollIntoView: the Tab key would go on from there, past the link to the content.
for (const open of document.querySelectorAll("nav [aria-current]")) {
  const row = open.closest("nav"), here = open.getBoundingClientRect(), all = row.getBoundingClientRect();
  row.scrollLeft += here.left + here.width / 2 - (all.left + all.width / 2);
}
