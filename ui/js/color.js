// @ts-check
// The color scale of activations: blue to yellow, readable with any color vision. Pure.
// On a dark ground strong is light, on a light ground strong is dark; both run through the same hues.

/** @typedef {"dark" | "light"} Theme */
/** @typedef {[red: number, green: number, blue: number]} Rgb   each 0..1, sRGB */

/** @type {Record<Theme, Rgb[]>} */
const STOPS = {
  dark: [hex('#3a68b0'), hex('#5c81b8'), hex('#8b93a0'), hex('#c2a565'), hex('#ecc348'), hex('#ffe97d')],
  light: [hex('#a6bde0'), hex('#8ba2c4'), hex('#a09272'), hex('#bd832c'), hex('#b35f00'), hex('#7d3500')],
};

/** @param {string} text  "#rrggbb" @returns {Rgb} */
export function hex(text) {
  const number = Number.parseInt(text.slice(1), 16);
  return [(number >> 16) / 255, ((number >> 8) & 255) / 255, (number & 255) / 255];
}

/**
 * The color of a share of the strongest activation.
 * @param {number} share   0..1; beyond is cut off
 * @param {Theme} theme
 * @returns {Rgb}
 */
export function activationColor(share, theme) {
  const stops = STOPS[theme];
  const place = Math.min(1, Math.max(0, share || 0)) * (stops.length - 1);
  const left = Math.min(Math.floor(place), stops.length - 2);
  const rest = place - left;
  return between(stops[left], stops[left + 1], rest);
}

/**
 * The color on the way from one to another.
 * @param {Rgb} a
 * @param {Rgb} b
 * @param {number} share   0..1 of the way
 * @returns {Rgb}
 */
export function between(a, b, share) {
  return [a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share];
}

// Hues that are told apart with any color vision (Okabe and Ito 2008), lighter on a dark ground, darker on a light one.
/** @type {Record<Theme, Rgb[]>} */
const LAYERS = {
  dark: ['#56b4e9', '#f0b53b', '#2fc79a', '#e58fc0', '#f2e35a', '#ff8a4c', '#9aa8ff'].map(hex),
  light: ['#0072b2', '#b06f00', '#00795a', '#a8447f', '#857500', '#c04a00', '#4a55b8'].map(hex),
};

/**
 * The hue of one of several SAEs on screen; an eighth has that of the first again.
 * @param {number} i
 * @param {Theme} theme
 */
export const layerColor = (i, theme) => LAYERS[theme][i % LAYERS[theme].length];

/**
 * @param {Rgb} rgb
 * @param {number} [alpha]
 */
export function css([red, green, blue], alpha = 1) {
  return `rgb(${Math.round(red * 255)} ${Math.round(green * 255)} ${Math.round(blue * 255)} / ${alpha.toFixed(3)})`;
}

/**
 * The scale as a CSS gradient, for the legend.
 * @param {Theme} theme
 */
export function gradient(theme) {
  return `linear-gradient(90deg, ${STOPS[theme].map((stop) => css(stop)).join(', ')})`;
}

/**
 * The ground behind a token, and whether it is so light that the token wants dark text.
 * @param {number} share   0..1
 * @param {Theme} theme
 */
export function ground(share, theme) {
  const strong = share > 0.5 && theme === 'dark';
  if (share <= 0.02) return { background: '', strong };
  const alpha = strong ? 0.88 : 0.18 + (theme === 'dark' ? 0.5 : 0.27) * share; // so that every text stays legible
  return { background: css(activationColor(share, theme), alpha), strong };
}
