// What the kernels of Winograd's convolutions share: their uniform struct, tiles, and places in packed panels.

// Maps of c channels of h x w are read, and k of p x q written: dgrad reads dy and writes dx, with the padding that makes
// it a correlation. A filter gradient reads x and dy instead.
struct Uniform {
    c: u32,
    h: u32,
    w: u32,
    k: u32,
    p: u32,
    q: u32,
    pad_h: u32,
    pad_w: u32,
    tiles_h: u32,
    tiles_w: u32,
    first_image: u32,
    images: u32,
    // From one filter, and one of its channels, to the next; dgrad takes filters transposed and flipped.
    filter_row: u32,
    filter_term: u32,
    flipped: u32,
    biased: u32,
    relu: u32,
    masked: u32,
    // Of the product: terms, rows and columns of a panel, panels, and the workgroups that pack `a`.
    depth: u32,
    panel_rows: u32,
    panel_columns: u32,
    row_panels: u32,
    column_panels: u32,
    a_blocks: u32,
}

// Tiles of the images at hand.
fn tiles(u: Uniform) -> u32 {
    return u.images * u.tiles_h * u.tiles_w;
}

// Image, row and column of a tile.
struct Tile {
    n: u32,
    i: u32,
    j: u32,
}

fn tile_at(u: Uniform, tile: u32) -> Tile {
    let row = tile / u.tiles_w;
    return Tile(u.first_image + row / u.tiles_h, row % u.tiles_h, tile % u.tiles_w);
}

// An element of a panel.
struct Place {
    // Where its panels keep it; those of the next point lie behind all panels.
    at: u32,
    // Term, or row of a product.
    line: u32,
    // Row or column, counted through all panels.
    column: u32,
}

// Element `lane` of block `block` of panels of `lines` x `width`; a panel has whole blocks, of which the last may reach over
// its end.
fn place(block: u32, lane: u32, lanes: u32, lines: u32, width: u32) -> Place {
    let blocks = (lines * width + lanes - 1u) / lanes;
    let panel = block / blocks;
    let i = block % blocks * lanes + lane;
    return Place(panel * lines * width + i, i / width, panel * width + i % width);
}
