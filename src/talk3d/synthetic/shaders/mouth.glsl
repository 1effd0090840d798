// Inside of the mouth: darker the farther behind the lips, and when they nearly meet.
uniform mat3 mouthTurn;
uniform vec3 lipCentre; // world units
uniform float lipGap;   // cm
uniform float toothHeight; // middle of the teeth at rest, cm

float mouthLight() {
  vec3 q = transpose(mouthTurn) * (lipCentre - P) * 40.0;
  float deep = exp(-max(q.z - 0.25, 0.0) * 0.62);
  float middle = mix(0.55, 1.0, smoothstep(2.9, 1.2, abs(q.x)));
  return 0.9 * deep * middle * mix(0.25, 1.0, smoothstep(0.06, 0.5, lipGap));
}

Surface mouthSurface(vec3 n) {
  Surface s;
  s.normal = n;
  s.light = mouthLight();
  s.kind = MOUTH;
  s.colour = vec3(0.30, 0.075, 0.07);
  s.rough = 0.35;
  s.gloss = 0.35;
  if (partId == 5) {
    float spots = noise4(R * 0.0625).g;
    s.colour = vec3(0.44, 0.15, 0.14) * (1.0 + 0.9 * spots);
    s.rough = 0.30;
    s.gloss = 0.7;
  } else if (partId == 6) {
    float gumSide = smoothstep(0.3, 1.2, abs(R.y - toothHeight));
    s.colour = vec3(0.70, 0.65, 0.54) * mix(1.0, 0.86, gumSide);
    s.kind = TEETH;
    s.rough = 0.22;
    s.gloss = 0.9;
  }
  return s;
}
