// On a narrow screen the pages stand in a row that scrolls: bring the one that is open into sight.
document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
