// Skin of face and neck with lips, brows, stubble, freckles and painted scalp.
uniform sampler2D faceMasks; // lips, creases
uniform sampler2D browMask;
uniform vec4 browWindow;
uniform vec3 skinColour, lipColour, hairColour, browColour;
uniform float blush, freckles, mottle, underEye, wrinkles, eyeShadow, oil, stubble;
uniform float skinOffset;
uniform float hairline, scalpPaint, scalpShade, shell;
uniform vec2 collar; // half axes of the neck opening, cm

const float PORE_SCALE = 1.7, LIP_SCALE = 0.6; // periods of the noise per cm
const float PORE_DEPTH = 0.008, LIP_DEPTH = 0.016; // cm

float blob(vec3 p, vec3 centre, vec3 size) {
  vec3 d = (p - centre) / size;
  return exp(-dot(d, d));
}

// Redder and yellower zones of the face; m has |x|.
vec3 zones(vec3 m, float ear, float blotch) {
  float red = 0.95 * blob(m, vec3(4.6, 0.2, 9.0), vec3(2.2, 2.2, 3.0)) * blush;
  red += 0.75 * blob(m, vec3(0.0, 0.3, 12.8), vec3(1.5, 1.3, 1.8)) * blush;
  red += 0.45 * blob(m, vec3(0.0, -6.3, 11.2), vec3(1.8, 1.2, 2.0)) * blush;
  red += 0.5 * ear;
  red += 0.5 * blob(m, vec3(1.5, -0.6, 11.2), vec3(0.7, 0.8, 1.0));
  red += 0.35 * blob(m, vec3(3.2, 4.3, 9.6), vec3(1.8, 0.5, 1.0));
  red += blotch;
  float yellow = 0.6 * blob(m, vec3(0.0, 8.0, 10.5), vec3(5.0, 2.0, 4.0));
  yellow += 0.25 * blob(m, vec3(0.0, -2.0, 11.5), vec3(3.0, 0.7, 2.0));
  return exp(-red * vec3(0.02, 0.24, 0.22) - yellow * vec3(-0.02, 0.01, 0.12));
}

vec3 aroundEyes(vec3 m) {
  float ring = blob(m, vec3(3.0, 2.35, 9.6), vec3(1.5, 0.55, 1.5));
  ring += 0.55 * blob(m, vec3(2.0, 3.2, 9.3), vec3(0.5, 0.9, 1.0));
  float lid = blob(m, vec3(3.2, 4.25, 9.5), vec3(1.7, 0.55, 1.0));
  return exp(-underEye * ring * vec3(0.28, 0.38, 0.30)
             - (0.12 + eyeShadow) * lid * vec3(0.4, 0.75, 0.6));
}

// Share of reflectance that makes a cover look as dense as its number says.
float cover(float share) { return 1.0 - (1.0 - share) * (1.0 - share); }

float brow(vec2 uv) {
  vec2 q = (uv - browWindow.xy) / browWindow.zw;
  if (any(lessThan(q, vec2(0.0))) || any(greaterThan(q, vec2(1.0)))) return 0.0;
  return texture(browMask, q).r;
}

// Tilts the normal by a height field (cm) given at this pixel.
vec3 bumped(vec3 n, float height) {
  vec3 dx = dFdx(P), dy = dFdy(P);
  vec3 r1 = cross(dy, n), r2 = cross(n, dx);
  float det = dot(dx, r1);
  vec3 gradient = sign(det) * (dFdx(height) * r1 + dFdy(height) * r2) / 40.0;
  return normalize(abs(det) * n - gradient);
}

// Slope variance that filtering took from bumps that are height times the fine noise;
// grain is the deviation of the blur that made them, cm; axes, those they vary on.
float lostSlope(float height, float grain, float axes) {
  float footprint = 0.45 * sqrt(max(dot(dFdx(R), dFdx(R)), dot(dFdy(R), dFdy(R))));
  float kept = grain / length(vec2(grain, footprint));
  float slope = NOISE_DEVIATION * height / grain;
  return 0.5 * slope * slope * (1.0 - pow(kept, axes + 2.0));
}

Surface skinSurface(vec3 n) {
  bool face = partId == 0;
  vec3 m = vec3(abs(R.x), R.yz);
  vec3 shift = skinOffset * vec3(1.0, 0.37, 0.71);
  vec4 mask = face ? texture(faceMasks, T) : vec4(0.0);
  float lips = mask.r, crease = mask.g;
  vec4 broad = noise4(R * 0.02 + shift * 0.125);
  vec4 mid = noise4(R * 0.094 + shift * 0.3);
  vec4 fine = noise4(R * 0.43 + shift * 0.7);
  vec4 pores = noise4(R * PORE_SCALE + shift);
  float blotch = (broad.g * 1.1 + broad.b * 0.8) * mottle;

  vec3 c = skinColour * zones(m, A.w, blotch);
  c *= 1.0 + (mid.g * 0.25 + broad.g * 0.12 + fine.b * 0.22) * mottle + broad.b * 0.09;
  c *= aroundEyes(m);
  float old = smoothstep(0.3, 0.9, wrinkles);
  float spots = smoothstep(0.10, 0.2, mid.b) * old * smoothstep(0.0, 6.0, R.y);
  c *= exp(-spots * vec3(0.12, 0.2, 0.26));
  if (freckles > 0.0 && face) {
    float zone = blob(m, vec3(3.0, 1.0, 11.0), vec3(4.0, 3.0, 4.0));
    c *= exp(-smoothstep(0.10, 0.22, fine.r) * zone * freckles * vec3(0.35, 0.6, 0.75));
  }
  c *= 1.0 - 0.5 * smoothstep(0.46, 0.48, mid.a);
  c *= exp(-crease * wrinkles * vec3(0.20, 0.30, 0.30));
  c = mix(c, lipColour * (1.0 + fine.g * 0.5), lips * 0.92);

  Surface s;
  s.spread = 0.0;
  s.kind = lips > 0.5 ? LIPS : SKIN;
  s.gloss = mix(0.40, 0.65, lips) * (1.0 + 0.5 * pores.r);
  s.rough = mix(0.50, 0.36, lips);
  float shiny = blob(m, vec3(0.0, 1.0, 12.5), vec3(1.3, 3.0, 2.0));
  shiny += blob(m, vec3(0.0, 8.0, 10.5), vec3(4.0, 2.0, 4.0));
  shiny += 0.7 * blob(m, vec3(4.8, 1.0, 9.0), vec3(2.0, 1.2, 2.0));
  s.rough -= 0.08 * oil * shiny;
  float calm = 1.0 - 0.85 * blob(m, vec3(0.0, -2.2, 11.8), vec3(0.7, 0.7, 1.5));
  float fold = clamp(K - 0.12, 0.0, 1.6) * calm, ridge = clamp(-K - 0.25, 0.0, 2.0);
  s.light = A.x * exp(-0.75 * fold);
  c *= exp(-fold * vec3(0.16, 0.30, 0.30)) * (1.0 + 0.05 * ridge);

  if (stubble > 0.0 && A.z > -1.8) {
    float area = smoothstep(-0.35, 1.5, A.z + mid.g * 1.6 + fine.r * 0.7 + pores.r * 0.4) * (1.0 - lips);
    float dots = mix(0.75 + 0.6 * pores.a + 0.5 * pores.r, 1.0, stubble * 0.7);
    vec3 shadow = min(hairColour, skinColour * 0.45);
    vec3 shade = mix(shadow * (0.7 + 0.6 * pores.r),
                     skinColour * vec3(0.50, 0.55, 0.62), stubble > 0.4 ? 0.1 : 0.5);
    c = mix(c, shade, cover(clamp(stubble * area * dots, 0.0, 0.95)));
    s.gloss *= 1.0 - 0.5 * stubble * area;
  }
  float inHair = A.y + hairline;
  if (inHair > -2.2 && scalpPaint > 0.0) {
    inHair += mid.r * 0.5 + broad.g * 1.6 + fine.r * 0.45 + pores.r * 0.35;
    float painted = smoothstep(-1.0, 1.3, inHair) * scalpPaint;
    float grain = 0.75 + 0.9 * pores.r + 0.4 * fine.r;
    c = mix(c, hairColour * grain * scalpShade * (1.0 + 0.35 * step(0.001, shell)), cover(painted) * 0.98);
    if (painted > 0.5) {
      s.kind = HAIR;
      s.rough = 0.75;
    }
    s.gloss *= 1.0 - 0.85 * painted;
    s.light *= mix(1.0, scalpShade, painted);
  }
  if (face) c = mix(c, browColour * (0.8 + 0.6 * pores.r), cover(brow(T)) * 0.97);

  float height = (pores.r * 0.6 + pores.a * 0.4) * PORE_DEPTH + fine.r * 0.010;
  height -= crease * wrinkles * 0.10;
  height += old * mid.b * 0.06;
  height += LIP_DEPTH * noise4(vec3(R.x * LIP_SCALE, R.yz * 0.3)).r * lips;
  if (shell > 0.0) height += smoothstep(0.0, 1.5, inHair) * pores.r * 0.05;
  s.normal = bumped(n, height);
  s.spread = lostSlope(0.72 * PORE_DEPTH, NOISE_GRAIN / PORE_SCALE, 3.0)
             + 0.5 * lips * lips * lostSlope(LIP_DEPTH, NOISE_GRAIN / LIP_SCALE, 1.0);
  s.colour = c;

  vec3 q = P * 40.0 + vec3(0.0, 1.0, 0.0);
  vec2 e = vec2(q.x, q.z + 0.6) / (collar + 0.25);
  if (R.y < -9.6 && dot(e, e) > 1.0) discard;
  return s;
}
