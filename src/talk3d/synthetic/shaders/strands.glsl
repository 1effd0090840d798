// Cuts a card into strands: thinner and sparser toward the tip.
float hash1(float n) { return fract(sin(n * 91.17) * 43758.5453); }

bool betweenStrands(vec4 card) {
  float across = card.x * card.w + 0.32 * sin(card.y * 5.0 + card.z * 40.0);
  float id = floor(across);
  float r = hash1(id + card.z * 517.0);
  float fromMiddle = abs(fract(across) - 0.5) * 2.0;
  float edge = abs(card.x - 0.5) * 2.0;
  float reach = mix(0.62, 1.0, r) * (1.0 - 0.25 * edge * edge);
  float width = mix(0.85, 0.4, smoothstep(0.2, 1.0, card.y / reach)) * mix(0.7, 1.1, hash1(id * 1.7 + card.z * 211.0));
  return card.y > reach || fromMiddle > width || edge > 0.96;
}
