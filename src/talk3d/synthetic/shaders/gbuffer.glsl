// What a pixel is made of, written once and lit once.
layout(location = 0) out vec4 outColour; // sqrt of the reflectance, part / 16
layout(location = 1) out vec4 outNormal; // normal or strand direction, roughness
layout(location = 2) out vec4 outExtra;  // occlusion, gloss; spread or octahedral normal's xy

const float SKIN = 1.0, LIPS = 2.0, MOUTH = 3.0, TEETH = 4.0, EYE = 5.0, HAIR = 6.0,
            WORN = 7.0, STRAND = 8.0;

struct Surface {
  vec3 colour;
  vec3 normal;
  float rough;
  float spread; // slope variance of bumps too small to see
  float gloss;
  float light; // ambient occlusion, 1 is open
  float kind;
};

void writeSurface(Surface s) {
  outColour = vec4(sqrt(clamp(s.colour, 0.0, 1.0)), s.kind / 16.0);
  outNormal = vec4(s.normal, s.rough);
  outExtra = vec4(s.light, s.gloss, sqrt(s.spread), 0.0);
}
