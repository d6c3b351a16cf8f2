import assert from 'node:assert/strict';
import test from 'node:test';
import { activationColor, css, gradient, ground, hex } from '../../ui/js/color.js';

const luminance = (rgb) =>
  rgb
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
const shares = Array.from({ length: 101 }, (_, i) => i / 100);

test('stronger is lighter on dark ground and darker on light ground, without a step back', () => {
  for (const [theme, sign] of [
    ['dark', 1],
    ['light', -1],
  ]) {
    const values = shares.map((share) => sign * luminance(activationColor(share, theme)));
    values.slice(1).forEach((value, i) => assert.ok(value > values[i], `${theme} at ${shares[i]}`));
  }
});

test('strong and weak are told apart, and from the ground', () => {
  const ground = { dark: luminance(hex('#0e1116')), light: luminance(hex('#ffffff')) };
  for (const theme of ['dark', 'light']) {
    const [weak, strong] = [0, 1].map((share) => luminance(activationColor(share, theme)));
    assert.ok(contrast(weak, strong) > 3, theme);
    assert.ok(contrast(strong, ground[theme]) > 4.5, theme);
    assert.ok(contrast(weak, ground[theme]) > 1.5, theme);
  }
});

test('a token stays legible on the ground of any share', () => {
  const pane = { dark: hex('#161b22'), light: hex('#ffffff') };
  const texts = { dark: hex('#c3cad6'), light: hex('#333b46') }; // of the prompt, the fainter one
  for (const theme of ['dark', 'light']) {
    for (const share of shares) {
      const { background, strong } = ground(share, theme);
      const [red, green, blue, alpha] = (background.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
      const seen = [red, green, blue].map((value, i) => (value / 255) * alpha + pane[theme][i] * (1 - alpha));
      const text = strong ? hex('#14110a') : texts[theme];
      assert.ok(contrast(luminance(seen), luminance(text)) >= 4.5, `${theme} at ${share}`);
    }
  }
});

test('shares beyond the ends, and no number at all, give a color', () => {
  assert.deepEqual(activationColor(-1, 'dark'), activationColor(0, 'dark'));
  assert.deepEqual(activationColor(2, 'dark'), activationColor(1, 'dark'));
  assert.deepEqual(activationColor(NaN, 'dark'), activationColor(0, 'dark'));
});

test('as CSS', () => {
  assert.equal(css(hex('#ff8000')), 'rgb(255 128 0 / 1.000)');
  assert.equal(css([0, 0, 0], 0.25), 'rgb(0 0 0 / 0.250)');
  assert.match(gradient('light'), /^linear-gradient\(90deg, rgb\(/);
});
