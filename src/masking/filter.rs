//! Where in a text a pattern may begin, found without looking at most of it.

/// How far ahead is looked at most.
const LONGEST_WINDOW: usize = 64;

/// Tells where one of many patterns may begin, by the method of Wu and Manber: the last two bytes of a window tell how
/// far it can be moved on, so that text without patterns is passed over in steps of about the length of the shortest.
pub(super) struct Filter {
    /// How many bytes the window has: the shortest pattern, or less.
    window: usize,
    /// For each pair of bytes at the end of the window, how far the next window is.
    shifts: Box<[u8]>,
    /// The pairs of bytes that a pattern begins with, one bit for each.
    starts: Box<[u64]>,
}

fn pair(first: u8, second: u8) -> usize {
    usize::from(first) << 8 | usize::from(second)
}

impl Filter {
    /// For patterns of two bytes and more; there has to be one.
    pub fn new<'a>(patterns: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        let shortest = patterns.clone().map(<[u8]>::len).min().unwrap_or(2);
        let window = shortest.clamp(2, LONGEST_WINDOW);
        let mut filter = Self {
            window,
            shifts: vec![shift(window - 1); 1 << 16].into(),
            starts: vec![0; 1 << 10].into(),
        };
        for pattern in patterns {
            filter.enter(&pattern[..window]);
        }
        filter
    }

    fn enter(&mut self, begins: &[u8]) {
        let start = pair(begins[0], begins[1]);
        self.starts[start >> 6] |= 1 << (start & 63);
        for (index, two) in begins.windows(2).enumerate() {
            let entry = &mut self.shifts[pair(two[0], two[1])];
            *entry = shift(self.window - 2 - index).min(*entry);
        }
    }

    /// How many bytes have to follow, so that it can tell of a place.
    pub fn window(&self) -> usize {
        self.window
    }

    /// The first place from `from` on where a pattern may begin, of those that a whole window follows.
    pub fn next(&self, text: &[u8], from: usize) -> Option<usize> {
        let (before, window) = (self.window - 1, self.window);
        let mut last = from + before;
        while let Some(&second) = text.get(last) {
            let shift = self.shifts[pair(text[last - 1], second)];
            if shift == 0 {
                let at = last - before;
                let start = pair(text[at], text[at + 1]);
                if self.starts[start >> 6] >> (start & 63) & 1 == 1 {
                    return Some(last + 1 - window);
                }
                last += 1;
            } else {
                last += usize::from(shift);
            }
        }
        None
    }
}

fn shift(distance: usize) -> u8 {
    u8::try_from(distance).unwrap_or(u8::MAX)
}
