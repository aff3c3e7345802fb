--- Curves drawn into an SVG file, two panels a line.
-- @module support.curves

local curves = {}

local colours = { "#222222", "#1f77b4", "#2ca02c", "#9467bd", "#8c564b", "#ff7f0e", "#d62728", "#17becf" }
local WIDTH, HEIGHT, MARGIN = 420, 300, 50

-- The ranges that a panel's curves take: x from 0.
local function ranges(panel)
  local low, high, right = math.huge, -math.huge, 0
  for _, curve in ipairs(panel.curves) do
    for _, point in ipairs(curve.points) do
      low, high, right = math.min(low, point[2]), math.max(high, point[2]), math.max(right, point[1])
    end
  end
  return low, high, right
end

local function draw_panel(file, panel, left, top)
  local low, high, right = ranges(panel)
  local function x(value) return left + MARGIN + value / right * (WIDTH - 2 * MARGIN) end
  local function y(value) return top + HEIGHT - MARGIN - (value - low) / (high - low) * (HEIGHT - 2 * MARGIN) end
  local function write(x_at, y_at, colour, text)
    file:write(('<text x="%.1f" y="%.1f" fill="%s">%s</text>\n'):format(x_at, y_at, colour, text))
  end
  file:write(('<path d="M%.1f %.1fV%.1fH%.1f" fill="none" stroke="#888"/>\n'):format(x(0), y(high), y(low), x(right)))
  write(left + MARGIN, top + 25, "black", panel.title)
  write(x(0), y(low) + 14, "black", "0")
  write(x(right) - 20, y(low) + 14, "black", ("%.4g %s"):format(right, panel.unit))
  write(left + 4, y(low), "black", ("%.4g"):format(low))
  write(left + 4, y(high) + 4, "black", ("%.4g"):format(high))
  for i, curve in ipairs(panel.curves) do
    local points = {}
    for k, point in ipairs(curve.points) do points[k] = ("%.1f,%.1f"):format(x(point[1]), y(point[2])) end
    file:write(('<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/>\n'):format(
      table.concat(points, " "), colours[i]))
    write(left + WIDTH - MARGIN - 40, top + 40 + 13 * i, colours[i], curve.name)
  end
end

--- Draws panels: each `{ title, unit (of x), curves = list of { name, points = list of { x, y } } }`.
function curves.draw(path, panels)
  local file = assert(io.open(path, "w"))
  file:write(('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-size="11">\n'):format(2 * WIDTH,
    math.ceil(#panels / 2) * HEIGHT), '<rect width="100%" height="100%" fill="white"/>\n')
  for i, panel in ipairs(panels) do
    draw_panel(file, panel, (i - 1) % 2 * WIDTH, math.floor((i - 1) / 2) * HEIGHT)
  end
  file:write "</svg>\n"
  file:close()
end

return curves
