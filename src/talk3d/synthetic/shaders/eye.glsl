// The eyeball: iris and pupil lie on a plane seen through the cornea.
uniform vec3 eyeCentre[2];
uniform mat3 eyeTurn[2];
uniform vec3 irisOuter, irisInner;
uniform float pupil, irisRadius; // pupil as a share of the iris; cm

Surface eyeSurface(vec3 n, vec3 view) {
  int k = partId == 7 ? 0 : 1;
  mat3 toEye = transpose(k == 0 ? eyeTurn[0] : eyeTurn[1]);
  vec3 radial = normalize(P - (k == 0 ? eyeCentre[0] : eyeCentre[1]));
  vec3 q = toEye * (P - (k == 0 ? eyeCentre[0] : eyeCentre[1]));
  vec3 shift = skinOffset * vec3(1.0, 0.37, 0.71);
  float plane = 0.80 * 1.545 / 40.0;
  vec3 ray = toEye * refract(-view, normalize(mix(n, radial, 0.35)), 1.0 / 1.336);
  vec2 hit = q.xy;
  if (q.z > plane && ray.z < -0.05) hit += ray.xy * ((plane - q.z) / ray.z);
  float iris = irisRadius / 40.0;
  float a = length(hit) / iris, angle = atan(hit.y, hit.x);
  float away = length(q.xy) / iris;

  vec3 white = vec3(0.60, 0.56, 0.53);
  white *= mix(vec3(1.0), vec3(0.98, 0.84, 0.79), smoothstep(1.0, 2.1, away));
  white *= mix(1.0, 0.72, smoothstep(1.1, 2.3, away));
  float vein = noise4(vec3(q.xy * 18.0, q.z * 10.0) + shift).r;
  vein = smoothstep(0.10, 0.25, vein) * smoothstep(1.2, 2.2, away);
  white *= 1.0 - vein * vec3(0.03, 0.16, 0.16);

  float fibre = 0.5 + noise4(vec3(cos(angle) * 1.3, sin(angle) * 1.3, a * 0.12) + shift).r * 0.6
                + noise4(vec3(cos(angle) * 3.1, sin(angle) * 3.1, a * 0.2) + shift).r * 0.4;
  vec3 c = mix(irisInner, irisOuter, smoothstep(0.35, 0.8, a + 0.5 * (fibre - 0.5)));
  c *= 0.55 + 0.95 * fibre;
  c *= 1.0 - 0.75 * smoothstep(0.80, 1.0, a);
  c *= 0.8 + 0.7 * smoothstep(0.2, -1.0, hit.y / iris);
  c = mix(vec3(0.006), c, smoothstep(pupil - 0.04, pupil + 0.05, a));

  Surface s;
  s.spread = 0.0;
  s.colour = mix(c, white, smoothstep(0.90, 1.10, a));
  s.normal = normalize(mix(radial, n, 0.9));
  s.rough = 0.09;
  s.gloss = 1.0;
  s.light = 1.0;
  s.kind = EYE;
  return s;
}
