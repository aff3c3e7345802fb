-- README.md is a promise: every block of it is run as it stands.
local snippets = require "support.snippets"

local function block(language, text)
  return snippets.extract(("```%s\n%s\n```\n"):format(language, text))[1]
end

describe("a snippet", function()
  it("is found with its language, its mark and its line", function()
    local blocks = snippets.extract "Title\n\n```sh no-run\nsudo make\n```\ntext\n```lua\nlocal x\n\nprint(x)\n```\n"
    assert.equal(2, #blocks)
    assert.same({ "sh", true, 4 }, { blocks[1].language, blocks[1].no_run, blocks[1].line })
    assert.same({ "lua", false, 8 }, { blocks[2].language, blocks[2].no_run, blocks[2].line })
    assert.equal("local x\n\nprint(x)\n", blocks[2].text)
    assert.has_error(function() snippets.extract "```lua\nprint(1)\n" end, "line 1: a code block is not closed")
  end)

  it("is run when it is lua, sh or repl, and left alone when it is text or marked", function()
    assert.is_true(snippets.runs(block("lua", "")))
    assert.is_false(snippets.runs(block("text", "")))
    assert.is_false(snippets.runs(block("sh no-run", "")))
    assert.is_nil(snippets.runs(block("Lua", "")))
  end)

  it("in Lua sees the modules of the checkout, and fails with its message", function()
    assert.is_true(snippets.run(block("lua", 'assert(require "epact.core".version)')))
    local ok, message = snippets.run(block("lua", "local n = 1\nerror 'no such thing'"))
    assert.is_nil(ok)
    assert.matches("^line 2: exit code 1\n.*:2: no such thing", message)
  end)

  it("in sh is run line by line, a backslash joining two", function()
    assert.is_true(snippets.run(block("sh", "# a comment\n$ test -f Makefile\ntest 1 \\\n  = 1")))
    local ok, message = snippets.run(block("sh", "true\nls \\\n  /nowhere\ntrue"))
    assert.is_nil(ok)
    assert.matches("^line 3: `ls .*exit code 2\n.*/nowhere", message)
  end)

  it("of a session prints what it says, line after line in one process", function()
    assert.is_true(snippets.run(block("repl", table.concat({
      "> x = 20",
      "> =x + 1, 'a.b'", "21\ta.b",
      "> for i = 1, 2 do", ">> print(i)", ">> end", "1", "2",
      "> error 'gone'", "stdin:1: gone", "...",
      "> =x / 3", "6.6...",
      "> =x", "20",
    }, "\n"))))
  end)

  it("of a session fails where something else is printed, or nothing, or more", function()
    local function refused(text)
      local ok, message = snippets.run(block("repl", text))
      assert.is_nil(ok)
      return message
    end
    assert.matches("^line 3: `> =1` should print\n2\nbut printed\n1", refused "> x = 1\n> =1\n2")
    refused "> x = 1\n1"
    refused "> print 'a' print 'b'\na"
    refused "> print 'axb'\na.b"
    refused "> =1\n> os.exit(3)"
  end)
end)

describe("README.md #readme", function()
  local file = io.open "README.md"
  local markdown = file and file:read "*a"
  if file then file:close() end

  it("exists and has snippets", function()
    assert.is_truthy(markdown)
    assert.is_true(#snippets.extract(markdown) > 0)
  end)

  for _, snippet in ipairs(markdown and snippets.extract(markdown) or {}) do
    local runs = snippets.runs(snippet)
    if runs ~= false then
      it(("line %d: %s"):format(snippet.line, snippet.language), function()
        assert.is_true(runs, "this kind of block is neither run nor marked no-run")
        local ok, message = snippets.run(snippet)
        assert.is_true(ok, message)
      end)
    end
  end
end)
