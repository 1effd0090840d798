// A tiling 64-cubed texture: two fine noises (r, a) and two fractal ones (g, b).
uniform sampler3D noise;
const vec4 NOISE_MEAN = vec4(0.5, 0.47, 0.47, 0.5);
const float NOISE_DEVIATION = 0.17, NOISE_GRAIN = 0.0125; // of r and a; in periods

vec4 noise4(vec3 p) { return texture(noise, p) - NOISE_MEAN; }
