// Spark lines: a few dozen points drawn on a small canvas.

const POINTS = 90;

export class Spark {
  /** `colour` is the name of one; without it the line is green when it has risen and red when it fell. */
  constructor(canvas, colour = "") {
    this.canvas = canvas;
    this.colour = colour;
    this.points = [];
  }

  /** Adds a value; the line holds the last 90. */
  push(value) {
    if (!Number.isFinite(value)) return;
    this.points.push(value);
    if (this.points.length > POINTS) this.points.shift();
    this.draw();
  }

  draw() {
    const { canvas, points } = this;
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (!width || points.length < 2) return;
    if (canvas.width !== Math.round(width * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const low = Math.min(...points);
    const span = Math.max(...points) - low || 1;
    const styles = getComputedStyle(canvas);
    const rising = points.at(-1) >= points[0];
    const colour = styles.getPropertyValue(this.colour || (rising ? "--up" : "--down"));
    const x = (index) => 1 + (index / (points.length - 1)) * (width - 4);
    const y = (value) => height - 3 - ((value - low) / span) * (height - 6);
    context.beginPath();
    points.forEach((value, index) => context.lineTo(x(index), y(value)));
    context.strokeStyle = colour;
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.stroke();
    context.lineTo(x(points.length - 1), height);
    context.lineTo(x(0), height);
    context.globalAlpha = 0.1;
    context.fillStyle = colour;
    context.fill();
    context.globalAlpha = 1;
    context.beginPath();
    context.arc(x(points.length - 1), y(points.at(-1)), 2, 0, 7);
    context.fill();
  }
}
