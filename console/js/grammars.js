// Which languages are coloured.

/** The grammars that are there, by the names that people write behind the three backticks and by file endings. */
export const GRAMMARS = {
  bash: 'bash sh shell zsh console', c: 'c h', cpp: 'cpp c++ cc hpp', csharp: 'csharp cs c#', css: 'css', diff: 'diff patch',
  dockerfile: 'dockerfile docker', go: 'go golang', ini: 'ini toml conf', java: 'java', javascript: 'javascript js jsx mjs cjs',
  json: 'json jsonl json5', kotlin: 'kotlin kt', makefile: 'makefile make mk', markdown: 'markdown md', php: 'php',
  python: 'python py', ruby: 'ruby rb', rust: 'rust rs', sql: 'sql', swift: 'swift', typescript: 'typescript ts tsx mts',
  xml: 'xml html svg vue', yaml: 'yaml yml',
};
