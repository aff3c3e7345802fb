--- The fenced code blocks of a Markdown text, and how to run each kind of them.
--
--     ```lua          a whole script, run by luajit from the checkout
--     ```sh           commands, one a line, run in the checkout; each must succeed
--     ```repl         `> line` is typed into one luajit session; what follows is what it prints, where
--                     `...` stands for anything
--     ```text         not run; neither is any block marked `no-run`
local process = require "support.process"

local snippets = {}

--- All blocks of a text, in order.
-- @treturn table list of `{ language, no_run, line, text }`; `line` is that of the block's first line
function snippets.extract(markdown)
  local blocks, open, number = {}, nil, 0
  for line in (markdown .. "\n"):gmatch("(.-)\r?\n") do
    number = number + 1
    local fence = line:match("^%s*```(.*)$")
    if fence and open then
      open.text = table.concat(open, "\n") .. "\n"
      blocks[#blocks + 1], open = open, nil
    elseif fence then
      open = { language = fence:match("^%s*(%S*)"), no_run = fence:find("no-run", 1, true) ~= nil, line = number + 1 }
    elseif open then
      open[#open + 1] = line
    end
  end
  if open then error(("line %d: a code block is not closed"):format(open.line - 1), 2) end
  return blocks
end

local function failure(block, offset, what, output)
  return nil, ("line %d: %s\n%s"):format(block.line + offset, what, output)
end

local run = {}

function run.lua(block)
  local script = process.temporary(block.text)
  local output, code = process.run("luajit " .. script, { paths = true })
  os.remove(script)
  if code ~= 0 then return failure(block, 0, ("exit code %d"):format(code), output) end
  return true
end

function run.sh(block)
  local command, first
  for offset, line in ipairs(block) do
    command, first = (command and command .. "\n" or "") .. line:gsub("^%$ ", ""), first or offset
    if not line:find("\\$") then
      local output, code = process.run(command, { seconds = 600 })
      if code ~= 0 then return failure(block, first - 1, ("`%s`: exit code %d"):format(command, code), output) end
      command, first = nil, nil
    end
  end
  return true
end

--- The lines typed and the text expected after them: list of `{ offset, inputs, expected }`.
local function turns(block)
  local list = {}
  for offset, line in ipairs(block) do
    local turn = list[#list]
    local typed, continued = line:match("^> (.*)$"), line:match("^>> (.*)$")
    if typed then
      list[#list + 1] = { offset = offset - 1, inputs = { typed }, expected = {} }
    elseif not turn then
      error(("line %d: output before any `> line`"):format(block.line + offset - 1))
    elseif continued then
      table.insert(turn.inputs, continued)
    else
      table.insert(turn.expected, line)
    end
  end
  return list
end

--- Does `output` read like the list of lines, in which `...` matches anything (a line of its own: any lines)?
function snippets.matches(expected, output)
  local pattern, blank = { "^" }, 0
  for _, line in ipairs(expected) do
    line = line:gsub("%s+$", "")
    if line == "" then
      blank = blank + 1
    else
      local text = line:gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0"):gsub("%%%.%%%.%%%.", ".-")
      pattern[#pattern + 1] = ("\n"):rep(blank) .. text .. (line == "..." and "" or "\n")
      blank = 0
    end
  end
  local trimmed = (output:gsub("[ \t]+\n", "\n"):gsub("%s+$", "") .. "\n"):gsub("^\n$", "")
  return trimmed:find(table.concat(pattern) .. "$") ~= nil
end

-- The session does not echo what it reads, but prompts before each line. After each turn it is made to print a mark.
local MARK = "\1"

function run.repl(block)
  local list = turns(block)
  local input = { "io.stdout:setvbuf 'no'" }
  for _, turn in ipairs(list) do
    input[#input + 1] = "io.write '\\1'\n" .. table.concat(turn.inputs, "\n")
  end
  input[#input + 1] = "io.write '\\1'"
  local output, code = process.run("luajit -i", { paths = true, input = table.concat(input, "\n") .. "\n" })
  if code ~= 0 then return failure(block, 0, ("the session ended with code %d"):format(code), output) end
  local printed = {}
  for part in (output .. MARK):gmatch("(.-)" .. MARK) do printed[#printed + 1] = part end
  for i, turn in ipairs(list) do
    local before = "> " .. (">> "):rep(#turn.inputs - 1)
    local text = printed[i + 1] or ""
    text = text:sub(#before + 1, -#"> " - 1)
    if not snippets.matches(turn.expected, text) then
      return failure(block, turn.offset, ("`> %s` should print\n%s\nbut printed"):format(
        table.concat(turn.inputs, "\n"), table.concat(turn.expected, "\n")), text)
    end
  end
  return true
end

--- Whether a block of this language is run, is left alone, or is not known (nil).
function snippets.runs(block)
  if block.no_run or block.language == "text" then return false end
  return run[block.language] and true or nil
end

--- Runs one block.
-- @treturn ?boolean true, or nil and what went wrong, with the line of the Markdown text
function snippets.run(block)
  return run[block.language](block)
end

return snippets
