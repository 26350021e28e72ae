"""The colours of figures and diagrams, which all kinds of colour vision tell apart, for light pages and for dark ones."""

# Light colour -> dark colour. Okabe and Ito's series, darkened or lightened until each stands at least 3:1 off its ground.
INK, MUTED, GRID = "#1f2328", "#59636e", "#d1d9e0"
BLUE, VERMILION, GREEN, PURPLE, OCHRE, SKY = "#0072b2", "#c2500a", "#00805d", "#a64d85", "#8a6d00", "#3a87ad"
SERIES = (BLUE, VERMILION, GREEN, PURPLE, OCHRE, SKY)
DARK = {
    INK: "#e6e8eb", MUTED: "#a3adb8", GRID: "#3f4752", BLUE: "#58b0f0", VERMILION: "#ff9152", GREEN: "#34c79a",
    PURPLE: "#e394c4", OCHRE: "#e0c04a", SKY: "#8fd0ee",
}  # fmt: skip
