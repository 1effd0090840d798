// Inside of the mouth: darker the farther behind the lips, and when they nearly meet.
uniform mat3 mouthTurn;
uniform vec3 lipCentre; // world units
uniform float lipGap;   // cm
uniform float toothHeight; // middle of the teeth at rest, cm

float mouthLight(float falloff) {
  vec3 q = transpose(mouthTurn) * (lipCentre - P) * 40.0;
  float deep = exp(-max(q.z - 0.25, 0.0) * falloff);
  float middle = mix(0.55, 1.0, smoothstep(2.9, 1.2, abs(q.x)));
  return 0.9 * deep * middle * mix(0.25, 1.0, smoothstep(0.06, 0.5, lipGap));
}

Surface mouthSurface(vec3 n) {
  Surface s;
  s.spread = 0.0;
  s.normal = n;
  s.light = mouthLight(0.8);
  s.kind = MOUTH;
  s.colour = vec3(0.30, 0.075, 0.07);
  s.rough = 0.35;
  s.gloss = 0.35;
  if (partId == 5) {
    float spots = noise4(R * 0.0625).g, grain = noise4(R * 0.5).r;
    float groove = exp(-R.x * R.x * 6.0) * smoothstep(9.6, 8.5, R.z);
    s.colour = vec3(0.42, 0.15, 0.145) * (1.0 + 0.9 * spots + 0.25 * grain);
    s.colour *= 1.0 - 0.25 * groove;
    s.light = mouthLight(0.95);
    s.rough = 0.34;
    s.gloss = 0.6;
  } else if (partId == 6) {
    float gumSide = smoothstep(0.3, 1.2, abs(R.y - toothHeight));
    s.colour = vec3(0.66, 0.60, 0.49) * mix(1.0, 0.84, gumSide);
    float behind = smoothstep(1.2, 3.2, -dot(R - vec3(0.0, 0.0, 11.2), vec3(0.0, 0.0, 1.0)));
    s.light = mouthLight(0.62) * mix(1.0, 0.30, behind);
    s.kind = TEETH;
    s.rough = 0.22;
    s.gloss = 0.9;
  }
  return s;
}
