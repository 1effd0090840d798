#version 330
in vec2 corner;
out vec2 U;

void main() {
  U = corner * 0.5 + 0.5;
  gl_Position = vec4(corner, 0.0, 1.0);
}
